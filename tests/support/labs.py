"""Looking at the production of a lab, as tests do again and again."""

from __future__ import annotations


def mail(site, group="sg1"):
    """Number of messages in all stores of a group."""
    return sum(each.items or 0 for each in site.status("evs1", group).databases)


def closed_logs(site):
    """The closed logs of production's first group, byte by byte."""
    place = site.parties.production.resolve("L:\\exchsrvr\\sg1")
    tree = site.parties.production.files(place.volume)
    found = {}
    for name in tree.listdir(place.path):
        if name.lower().endswith(".log") and name.lower() not in ("e00.log", "e00tmp.log"):
            with tree.open(f"{place.path}/{name}") as file:
                found[name] = file.read_at(0, file.size_bytes)
    return found
