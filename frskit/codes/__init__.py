"""Codes of all parties as data, so that `explain` needs no wing: HRESULTs, ESE, EVA, exits."""
