"""The page in a real browser: opened from the disk, sorted, filtered, listened to, printed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from leaderboard.builder import Results, add_published
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tokbench.leaderboard.build import build
from tokbench.leaderboard.spec import find_leaderboard

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
NASTY = '<script>alert("x")</script> \'q" 音'
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--window-size=1280,1000",
)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver (apt-get install chromium-driver)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    results = Results(folder / "results")
    add_published(results, num_examples=3)
    results.add(NASTY, "1", {"visqol": [2.0] * results.num_utterances})
    build(["reconstruction"], results=results.folder, out=folder / "out")
    return folder / "out" / "reconstruction.html"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield browser
    browser.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    """Open the page afresh."""
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(page.as_uri())
    return driver


def requests(browser: webdriver.Chrome) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def column(browser: webdriver.Chrome, index: int) -> list[str]:
    """Return the machine-readable values of a column, from top to bottom."""
    script = (
        "return [...document.querySelectorAll('.board tbody tr')].map(r => r.cells[arguments[0]].dataset.value)"
    )
    values: list[str] = browser.execute_script(script, index)
    return values


def ranks(browser: webdriver.Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('.board tbody tr')].map(r => r.cells[0].textContent)"
    texts: list[str] = browser.execute_script(script)
    return [text for text in texts if text]


def heading(browser: webdriver.Chrome, text: str) -> WebElement:
    return browser.find_element(By.XPATH, f"//tr[@class='columns']//button[starts-with(., '{text}')]")


def numbers(values: list[str]) -> list[float]:
    return [float(value) for value in values if value]


def sort_state(browser: webdriver.Chrome, text: str) -> str | None:
    return heading(browser, text).find_element(By.XPATH, "..").get_attribute("aria-sort")


def test_the_page_opens_without_an_error_or_a_request(browser: webdriver.Chrome, page: Path) -> None:
    assert browser.get_log("browser") == []
    assert all(url.startswith(("data:", page.parent.as_uri())) for url in requests(browser))
    assert browser.title == "Reconstruction · tokbench"


def test_a_name_that_is_a_script_is_text(browser: webdriver.Chrome) -> None:
    names = [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".board .name")]
    assert NASTY in names


def test_a_click_sorts_best_first_and_another_one_turns_the_order(browser: webdriver.Chrome) -> None:
    before = column(browser, 1)
    heading(browser, "mel (DAC)").click()
    index = 9
    values = numbers(column(browser, index))
    assert values == sorted(values)
    assert sort_state(browser, "mel (DAC)") == "ascending"
    assert sort_state(browser, "ViSQOL") == "none"
    assert column(browser, index)[-1] == ""  # what is missing stays at the end
    assert column(browser, 1) != before
    places = ranks(browser)
    assert places == [str(place) for place in range(1, len(places) + 1)]
    heading(browser, "mel (DAC)").click()
    assert numbers(column(browser, index)) == values[::-1]
    assert column(browser, index)[-1] == ""
    assert ranks(browser) == places[::-1]  # the best is the first, wherever it stands
    assert sort_state(browser, "mel (DAC)") == "descending"


def test_the_keyboard_sorts_as_well(browser: webdriver.Chrome) -> None:
    button = heading(browser, "PESQ wb")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    values = numbers(column(browser, 5))
    assert values == sorted(values, reverse=True)
    assert sort_state(browser, "PESQ wb") == "descending"


def test_codecs_sort_by_name_and_numbers_in_names_by_size(browser: webdriver.Chrome) -> None:
    heading(browser, "codec").click()
    opus = [label for label in column(browser, 1) if label.startswith("opus")]
    assert opus == ["opus:6kbps", "opus:12kbps", "opus:24kbps", "opus:64kbps"]
    assert ranks(browser) == []


def test_the_filter_hides_rows(browser: webdriver.Chrome) -> None:
    field = browser.find_element(By.CSS_SELECTOR, ".tools input")
    field.send_keys("opus 12")
    shown = [row.text for row in browser.find_elements(By.CSS_SELECTOR, ".board tbody tr") if row.is_displayed()]
    assert len(shown) == 1
    assert "opus 12kbps" in shown[0]
    assert browser.find_element(By.CSS_SELECTOR, ".tools output").text == "1 of 18"
    field.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    assert all(row.is_displayed() for row in browser.find_elements(By.CSS_SELECTOR, ".board tbody tr"))


def test_one_picture_is_shown_and_a_tab_shows_another(browser: webdriver.Chrome) -> None:
    def shown() -> list[str]:
        figures = browser.find_elements(By.CSS_SELECTOR, ".pictures figure")
        return [figure.find_element(By.TAG_NAME, "b").text for figure in figures if figure.is_displayed()]

    tabs = browser.find_elements(By.CSS_SELECTOR, ".tabs button")
    assert shown() == ["ViSQOL"]
    tabs[2].click()
    assert shown() == ["STOI"]
    tabs[2].send_keys(Keys.ARROW_LEFT)
    assert shown() == ["PESQ wide band"]
    assert [tab.get_attribute("aria-selected") for tab in tabs[:3]] == ["false", "true", "false"]


def test_a_picture_is_as_wide_as_the_page(browser: webdriver.Chrome) -> None:
    picture = browser.find_element(By.CSS_SELECTOR, ".pictures svg")
    assert picture.rect["width"] > 0.95 * browser.find_element(By.CSS_SELECTOR, ".sheet").rect["width"]


def test_the_point_under_the_pointer_is_put_in_words(browser: webdriver.Chrome) -> None:
    point = browser.find_element(By.CSS_SELECTOR, "[aria-roledescription=point][aria-label^='opus 12kbps']")
    webdriver.ActionChains(browser).move_to_element(point).perform()
    assert browser.find_element(By.CSS_SELECTOR, ".pointed").text.startswith("opus 12kbps: ")


@pytest.mark.parametrize("kind", ["data:", "reconstruction.audio/"])
def test_a_sound_plays(browser: webdriver.Chrome, kind: str) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    sound = browser.find_element(By.CSS_SELECTOR, f"audio[src^='{kind}']")
    browser.execute_script("arguments[0].muted = true; arguments[0].play()", sound)

    def position(_: Any) -> bool:
        return float(browser.execute_script("return arguments[0].currentTime", sound)) > 0.2

    WebDriverWait(browser, 10).until(position)
    assert browser.execute_script("return arguments[0].duration", sound) == pytest.approx(3.0, abs=0.01)
    assert browser.execute_script("return arguments[0].error", sound) is None


def test_one_sound_at_a_time(browser: webdriver.Chrome) -> None:
    first, second = browser.find_elements(By.CSS_SELECTOR, "audio")[:2]
    for sound in (first, second):
        script = "arguments[0].muted = true; return arguments[0].play().then(() => true)"
        assert browser.execute_script(script, sound)
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script("return arguments[0].paused", first))
    assert not browser.execute_script("return arguments[0].paused", second)


def test_spectrograms_are_pictures(browser: webdriver.Chrome) -> None:
    picture = browser.find_element(By.CSS_SELECTOR, ".sounds img")
    browser.execute_script("arguments[0].scrollIntoView()", picture)
    wait = WebDriverWait(browser, 10)
    wait.until(lambda _: browser.execute_script("return arguments[0].naturalWidth", picture) == 320)


def test_nothing_sticks_out_of_a_phone(browser: webdriver.Chrome) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        name = browser.find_element(By.CSS_SELECTOR, ".board tbody th")
        scroller = browser.find_element(By.CSS_SELECTOR, ".sheet > .scroll")
        left = name.rect["x"]
        browser.execute_script("arguments[0].scrollLeft = 300", scroller)
        assert name.rect["x"] == pytest.approx(left, abs=12)  # the codec stays in sight
        corner = browser.find_element(By.CSS_SELECTOR, ".board .groups .codec")
        assert corner.rect["x"] == name.rect["x"]  # and no heading moves over its column
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_wide_table_has_a_bar_above_it_and_a_shade_while_there_is_more(browser: webdriver.Chrome) -> None:
    def state() -> tuple[bool, int]:
        more = "more" in (browser.find_element(By.CSS_SELECTOR, ".sheet").get_attribute("class") or "").split()
        return more, browser.execute_script("return document.querySelector('.sheet > .scroll').scrollLeft")

    bar = browser.find_element(By.CSS_SELECTOR, ".bar:has(+ .sheet)")
    table = browser.find_element(By.CSS_SELECTOR, ".sheet > .scroll")
    wait = WebDriverWait(browser, 10)
    wait.until(lambda _: state() == (True, 0))
    assert bar.is_displayed()
    assert bar.rect["y"] < table.rect["y"]
    assert table.rect["height"] <= browser.execute_script("return innerHeight")
    browser.execute_script("arguments[0].scrollLeft = 50", bar)
    wait.until(lambda _: state() == (True, 50))
    browser.execute_script("arguments[0].scrollLeft = 1e6", table)
    wait.until(lambda _: not state()[0])
    assert browser.execute_script("return arguments[0].scrollLeft", bar) == state()[1]
    browser.execute_script("arguments[0].style.width = '3000px'", table.find_element(By.XPATH, ".."))
    wait.until(lambda _: not bar.is_displayed() and not state()[0])


@pytest.mark.parametrize("script", [True, False])
def test_on_paper_everything_is_open(browser: webdriver.Chrome, *, script: bool) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    browser.refresh()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        figures = browser.find_elements(By.CSS_SELECTOR, ".pictures figure")
        assert [figure.rect["height"] > 50 for figure in figures] == [True] * len(figures)
        pictures = browser.find_elements(By.CSS_SELECTOR, ".sounds img")
        assert len(pictures) == find_leaderboard("reconstruction").num_examples * 18
        assert all(picture.rect["height"] > 10 for picture in pictures)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_without_a_script_every_picture_and_row_is_there(browser: webdriver.Chrome) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        figures = browser.find_elements(By.CSS_SELECTOR, ".pictures figure")
        assert len(figures) == 7
        assert all(figure.is_displayed() for figure in figures)
        assert not browser.find_element(By.CSS_SELECTOR, ".tools").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_dark_is_dark(browser: webdriver.Chrome) -> None:
    def background(scheme: str) -> str:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        colour: str = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        return colour

    assert (background("light"), background("dark")) == ("rgb(253, 252, 250)", "rgb(23, 22, 20)")
