"""Values: what the parties of a copy tell each other. Frozen, slotted, keyword-only.

One module per party: `ids`, `storage` (the array), `volumes` (a server), `components` (a writer),
`shadows` (the shadow copy service), `copies` (the catalog), `checks` and `reports` (verdicts),
`plans` (the requestor), `files`.
"""
