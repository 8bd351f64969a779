"""A verified copy of a simulated Exchange server, a disaster, and the recovery from it.

python examples/quickstart.py
"""

from __future__ import annotations

import frskit
from frskit import BackupType, RecoveryMode


def main() -> None:
    """Deliver, copy, deliver more, lose a database, roll forward."""
    with frskit.lab() as site:
        site.deliver("evs1", "sg1", messages=1000)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        cut = sum(each.count for each in copy.truncated)
        print(f"copy {copy.id}: {copy.verdict.value}, {cut} logs truncated")
        print(f"the stores were frozen for {copy.freeze_s:.3f} s")

        site.deliver("evs1", "sg1", messages=50)
        print(site.damage_database("evs1", "sg1"))

        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
        for step in plan.steps:
            print(f"  {step.title}: {step.detail}")
        report = site.frs.recover(plan)
        for database in report.after.databases:
            print(f"{database.name}: {database.state}, {database.items} messages")


if __name__ == "__main__":
    main()
