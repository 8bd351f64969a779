"""Sites that are put together of parties."""

from __future__ import annotations

from support.kv_party import KvWorld

from frskit.events import CallableSink, ServiceTrace


def test_traces_of_services_reach_who_subscribes_to_the_site(tmp_path):
    """A site that somebody composed needs no sink that is handed round; nobody hears twice."""
    heard = []
    with KvWorld(tmp_path) as world:
        world.site.subscribe(CallableSink(heard.append))
        for service in (
            world.site.parts.production("prod").service,
            world.site.parts.recovery.service,
        ):
            service.subscribe(world.site.parts.sink)  # it has them already
        world.copy()
    steps = [each.step for each in heard if isinstance(each, ServiceTrace)]
    assert "Freeze" in steps
    assert steps.count("Thaw") == 1
