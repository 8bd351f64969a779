"""One verified copy and a recovery that loses nothing, on the lab."""

import frskit
from frskit import BackupType, RecoveryMode


def main() -> None:
    with frskit.lab(seed=1) as site:
        site.deliver("evs1", "sg1", messages=200)

        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert copy.report is not None
        print(f"copy {copy.id} is {copy.verdict.value}")
        print(f"checked {copy.report.pages} pages and {copy.report.logs} logs")
        for each in copy.truncated:
            print(f"the writer truncated {each.count} logs")

        site.deliver("evs1", "sg1", messages=50)
        print(site.damage_database("evs1", "sg1"))

        plan = site.frs.plan_recovery(copy.id, mode=RecoveryMode.ROLL_FORWARD)
        for step in plan.steps:
            print(" -", step.title, step.detail)
        report = site.frs.recover(plan)
        for database in report.after.databases:
            print(f"{database.name}: {database.state}, {database.items} messages")


if __name__ == "__main__":
    main()
