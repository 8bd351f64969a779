"""There is one converter for each form of a record, however it is asked for."""

from frskit.model.json_records import converter


def test_asking_in_another_way_makes_no_other_converter() -> None:
    assert converter() is converter(strict=False)
    strict = converter(strict=True)
    assert converter() is converter(strict=False)
    assert converter(strict=True) is strict
    assert strict is not converter()
