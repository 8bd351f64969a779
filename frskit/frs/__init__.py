"""The requestor: copies storage groups, checks them, and recovers from them.

`FastRecovery` is the face; the modules behind it follow the flow: `copying`, `recovering`,
`resuming`, and what they keep: `catalog`, `journal`, `ledger`.
"""
