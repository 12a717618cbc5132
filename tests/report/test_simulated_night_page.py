"""The page of a simulated night, read back against the night it was drawn from."""

from xml.etree import ElementTree

import numpy as np
import pytest

from sleep2vec.report.simulated_night import simulated_night_html
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.vocabulary.stages import FIVE

STAGE_TITLES = {"W": "Wake", "N1": "Stage N1", "N2": "Stage N2", "N3": "Stage N3", "R": "Stage R"}


@pytest.fixture(scope="module")
def night() -> SimulatedNight:
    return simulate_night(3, site="beta", hours=2.5)


@pytest.fixture(scope="module")
def page(night: SimulatedNight) -> ElementTree.Element:
    html = simulated_night_html(night, "A night <b>of</b> three", ({"title": "YASA", "words": "how", "command": "run",
        "columns": ("what", "kappa"), "rows": (("all", ".71"),)},))  # fmt: skip
    assert "A night <b>" not in html
    body = html[html.index("<body>") : html.index("</body>") + 7]
    return ElementTree.fromstring(body.replace("&nbsp;", " "))


def test_it_says_that_nobody_slept(page):
    assert any("nobody slept" in (element.text or "") for element in page.iter("span"))


def test_every_channel_and_every_event_is_on_it(page, night):
    titles = {section.find("h2").text: section for section in page.iter("section")}
    overview = titles["The night as recorded"]
    drawn = [path.get("data-trace") for path in overview.iter("path") if path.get("data-trace")]
    assert drawn == [signal.label for signal in night.recording.signals]
    boxes = [box.get("data-mark") for box in overview.iter("rect") if box.get("data-mark")]
    kinds = [str(event.kind) for event in night.truth.events]
    assert boxes.count("arousal") == kinds.count("arousal")
    assert boxes.count("hypopnea") == kinds.count("hypopnea")
    assert boxes.count("apnea") == sum(kind.endswith("_apnea") for kind in kinds)


def test_there_is_an_epoch_of_each_stage_of_the_night_and_of_no_other(page, night):
    found = {section.find("h2").text for section in page.iter("section")}
    present = {STAGE_TITLES[FIVE[int(stage)]] for stage in np.unique(night.truth.stages_L)}
    assert found & set(STAGE_TITLES.values()) == present


def test_what_was_measured_stands_beside_its_command(page):
    cells = [cell.text for cell in page.iter("td")]
    assert ".71" in cells
    assert any(paragraph.text == "run" for paragraph in page.iter("p"))
