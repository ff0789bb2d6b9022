"""The profile page in a headless Chromium: what people see, with the keyboard alone, in both schemes, on narrow
screens."""

import shutil
import struct
import zlib

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from conftest import custom, event, profiles_pb2, track, types_pb2, unique, wait_until
from console_tools import Console, keyed, page  # noqa: F401  (fixtures)
from test_keys import new_key

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg/onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "\u202egnp.exe\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 e\u0301\u0301\u0301",
    "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1}",
    "__proto__",
]


def start_browser():
    assert shutil.which("chromium") and shutil.which("chromedriver"), "chromium and chromium-driver: make test-deps"
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


@pytest.fixture(scope="module")
def driver():
    browser = start_browser()
    yield browser
    browser.quit()


def show(driver, console, fragment=""):
    """The page from its beginning, so that nothing of another test is left."""
    driver.get("about:blank")
    driver.get(f"http://{console.console}/{fragment}")
    assert wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#main > *"))


def texts(driver, selector):
    """What is shown now, read at once: parts of the page are made anew at any time."""
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText.trim())"
    return driver.execute_script(script, selector)


def sees(driver, text, selector="#main"):
    return wait_until(lambda: any(text in found for found in texts(driver, selector)))


def keys(driver, *sent):
    """Keys that go to whatever has the focus."""
    chain = webdriver.ActionChains(driver)
    for one in sent:
        chain.send_keys(one)
    chain.perform()


def focused(driver):
    return driver.switch_to.active_element


def rows(driver):
    """How many different rows a screenshot has, read without a library: an empty page has a few."""
    data = driver.get_screenshot_as_png()
    offset, parts, width = 8, b"", 0
    while offset < len(data):
        length, kind = struct.unpack(">I4s", data[offset : offset + 8])
        body = data[offset + 8 : offset + 8 + length]
        if kind == b"IHDR":
            width, depth = struct.unpack(">I", body[:4])[0], 4 if body[9] == 6 else 3
        if kind == b"IDAT":
            parts += body
        offset += 12 + length
    raw = zlib.decompress(parts)
    row = width * depth + 1
    return len({raw[start + 1 : start + row] for start in range(0, len(raw), row)})


def unnamed(driver):
    """What is shown without a name for screen readers; `None` if the page has changed meanwhile."""
    named = "input, select, textarea, button, nav, section, [role=region], svg[role=img]"
    try:
        shown = [node for node in driver.find_elements(By.CSS_SELECTOR, named) if node.is_displayed()]
        return [node.get_attribute("outerHTML")[:200] for node in shown if not node.accessible_name]
    except StaleElementReferenceException:
        return None


def background(driver):
    return driver.execute_script("return getComputedStyle(document.body).backgroundColor")


def overflows(driver):
    return driver.execute_script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")


def identify(console, name, **values):
    patch = types_pb2.AttributePatch()
    for attribute, text in values.items():
        patch.set[attribute].string = text
    return console.stub.Identify(
        profiles_pb2.IdentifyRequest(project="default", custom_id=name, attributes=patch)
    ).profile.profile_id


def complaints(driver):
    """What the browser has refused or failed to run, expected statuses of the service aside."""
    lines = [one["message"] for one in driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
    return [line for line in lines if "/api/" not in line]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_shown_as_they_are(driver, page, hostile):
    name = f"{hostile} {unique()}"
    made = identify(page, name, first_name=hostile, long_name=hostile[:4] * 70)
    value = types_pb2.Value(string=hostile)
    items = types_pb2.Value(list=types_pb2.StringList(items=[hostile, hostile + "2"]))
    stored = event(
        "visit", label=hostile[:200], tags=[hostile[:60].lower()], attributes={"text": value, "items": items}
    )
    page.stub.Track(track(custom(name), stored))
    show(driver, page, f"#/person/{made}")
    assert sees(driver, "visit", ".timeline")
    assert [node.get_property("textContent") for node in driver.find_elements(By.CSS_SELECTOR, "h1 bdi")] == [name]
    shown = [
        node.get_property("textContent")
        for node in driver.find_elements(By.CSS_SELECTOR, "td.value bdi, .attributes dd bdi")
    ]
    assert shown.count(hostile) >= 3
    assert driver.execute_script("return window.hacked") is None
    assert driver.execute_script("return [...document.querySelectorAll('script')].map((one) => one.src).length") == 1
    assert (
        driver.find_elements(By.CSS_SELECTOR, "main img, main iframe, main svg[onload], main a[href^='javascript']")
        == []
    )
    assert complaints(driver) == []


def test_a_long_text_is_shown_in_part_until_asked_for(driver, page):
    name = unique().ljust(512, "x")
    made = identify(page, name)
    show(driver, page, f"#/person/{made}")
    assert sees(driver, "Show all")
    assert not overflows(driver)
    driver.find_element(By.XPATH, "//h1//button").click()
    assert driver.find_element(By.CSS_SELECTOR, "h1 bdi").text == name


def test_a_text_of_64_kib_in_the_search_is_an_error_that_is_shown(driver, page):
    show(driver, page)
    box = driver.find_element(By.ID, "find-value")
    driver.execute_script(
        "arguments[0].removeAttribute('maxlength'); arguments[0].value = '\U0001f469'.repeat(16384)", box
    )
    box.send_keys(Keys.ENTER)
    assert sees(driver, "too long", ".failure")


def test_a_person_is_found_and_read_with_the_keyboard_alone(driver, page):
    name = unique("keyboard")
    identify(page, name, plan="gold")
    page.stub.Track(track(custom(name), event("purchase")))
    show(driver, page)
    keys(driver, "/")
    assert focused(driver).get_attribute("id") == "find-value"
    keys(driver, name, Keys.ENTER)
    assert sees(driver, name, "h1") and sees(driver, "gold") and sees(driver, "purchase", ".timeline")
    assert name not in driver.current_url
    # From the search on, the keyboard reaches the counter's button and a scrolling table, each with a visible focus.
    reached = set()
    for _ in range(40):
        keys(driver, Keys.TAB)
        node = focused(driver)
        reached.add(node.get_attribute("aria-label") or node.text)
        assert driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", node) != "none"
        if "purchase" in reached:
            break
    assert {"Find", "purchase"} <= reached
    keys(driver, Keys.ENTER)
    assert sees(driver, "only purchase", "section header")


def test_the_first_tab_skips_to_the_content(driver, page):
    show(driver, page)
    driver.execute_script("document.activeElement.blur()")
    keys(driver, Keys.TAB)
    assert focused(driver).text == "Skip to content"
    keys(driver, Keys.ENTER)
    assert focused(driver).get_attribute("id") == "main"


def test_parts_and_fields_have_names_for_screen_readers(driver, page):
    name = unique("reader")
    made = identify(page, name, plan="gold")
    for fragment in ["", "#/people", f"#/person/{made}"]:
        show(driver, page, fragment)
        assert wait_until(lambda: not driver.find_elements(By.CSS_SELECTOR, ".loading"))
        for tag in ["header", "nav", "main", "footer"]:
            assert driver.find_elements(By.TAG_NAME, tag)
        assert len(driver.find_elements(By.TAG_NAME, "h1")) == 1
        assert wait_until(lambda: unnamed(driver) == []), unnamed(driver)
        assert driver.find_element(By.ID, "status").get_attribute("aria-live") == "polite"
    assert driver.find_element(By.ID, "status").get_property("textContent")


def test_new_events_appear_and_the_person_follows(driver, page):
    name = unique("live")
    made = identify(page, name)
    show(driver, page, f"#/person/{made}")
    assert sees(driver, "No events yet", ".empty") and sees(driver, "Live", ".live")
    page.stub.Track(track(custom(name), event("signed_up", attributes={"plan": types_pb2.Value(string="silver")})))
    assert sees(driver, "signed_up", ".timeline") and sees(driver, "silver", ".timeline")
    assert sees(driver, "signed_up", "section[aria-labelledby=part-counters]")
    identify(page, name, plan="platinum")
    assert sees(driver, "platinum", "section[aria-labelledby=part-attributes]")
    assert texts(driver, ".timeline .event strong") == ["signed_up"]
    assert wait_until(lambda: "plan" in driver.find_element(By.ID, "status").get_property("textContent"))


def test_consent_shows_its_verdict_reason_and_history(driver, page):
    name = unique("consent")
    made = identify(page, name)
    change = profiles_pb2.SubscriptionChange(
        channel=types_pb2.CHANNEL_EMAIL, topic="offers", state=types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED
    )
    page.stub.UpdateSubscription(
        profiles_pb2.UpdateSubscriptionRequest(
            project="default", identifier=custom(name), changes=[change], source=types_pb2.CONSENT_SOURCE_USER
        )
    )
    show(driver, page, f"#/person/{made}")
    assert sees(driver, "No: no address", ".verdict.no")
    assert sees(driver, "offers", "section[aria-labelledby=part-subscriptions]")
    assert sees(driver, "chain valid, 1 entry", ".badge.good")
    assert sees(driver, "unset → unsubscribed", "section[aria-labelledby=part-consent-ledger]")


def test_a_merge_says_what_undoing_it_would_do(driver, page):
    old, new = unique("old"), unique("new")
    identify(page, old, color="red")
    made = identify(page, new)
    page.stub.Track(track(custom(old), event()))
    merged = page.stub.MergeProfiles(
        profiles_pb2.MergeProfilesRequest(
            project="default", loser=custom(old), survivor=custom(new), allow_identified=True
        )
    )
    show(driver, page, f"#/person/{made}")
    assert sees(driver, f"{old} was merged into this person", ".merges")
    driver.find_element(By.CSS_SELECTOR, ".merges summary").click()
    for text in ["1 event goes back", "color", f"profilectl unmerge {merged.merge_id}"]:
        assert sees(driver, text, ".merges")


def test_filters_show_count_list_and_where_an_error_is(driver, page):
    label = unique("visit").replace("-", "_").lower()
    names = sorted(unique("filtered") for _ in range(3))
    for name in names:
        page.stub.Track(track(custom(name), event(label)))
    show(driver, page, "#/people")
    box = driver.find_element(By.ID, "filter")
    box.send_keys(f"events.{label}.count = 1", Keys.CONTROL, Keys.ENTER)
    assert sees(driver, "3 people", ".count")
    assert sorted(texts(driver, "tbody th")) == names
    box.clear()
    box.send_keys("state < IDENTIFIED", Keys.CONTROL, Keys.ENTER)
    assert sees(driver, "column 7", ".failure")
    assert texts(driver, ".caret mark") == ["<"]
    assert driver.execute_script("return document.getElementById('filter').selectionStart") == 6
    box.clear()
    box.send_keys('custom_id = "nobody-at-all"', Keys.CONTROL, Keys.ENTER)
    assert sees(driver, "Nobody matches", ".empty") and sees(driver, "0 people", ".count")


def test_whoever_is_not_there_is_said_to_be(driver, page):
    show(driver, page)
    box = driver.find_element(By.ID, "find-value")
    box.send_keys("nobody-at-all", Keys.ENTER)
    assert sees(driver, "Nobody is called so", ".empty")
    show(driver, page, "#/person/" + "0" * 26)
    assert sees(driver, "There is no such person", ".empty")


def test_signing_in_keeps_the_key_out_of_url_and_storage(driver, keyed):
    key = keyed.key("read")
    show(driver, keyed.console)
    assert sees(driver, "Sign in", "h1")
    driver.find_element(By.ID, "project").clear()
    driver.find_element(By.ID, "project").send_keys("shop")
    keys(driver, Keys.TAB, new_key("c" * 16), Keys.ENTER)
    assert sees(driver, "The key is not valid.", ".failure")
    keys(driver, key, Keys.ENTER)
    assert sees(driver, "Overview", "h1") and sees(driver, "1 identified")
    assert key not in driver.current_url and key not in driver.page_source
    assert (
        driver.execute_script("return document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })") == "{}"
    )
    driver.find_element(By.XPATH, "//button[text()='Sign out']").click()
    assert sees(driver, "Sign in", "h1")
    driver.delete_all_cookies()


def test_a_session_that_ends_asks_for_the_key_again(driver, keyed):
    key = keyed.key("read")
    show(driver, keyed.console)
    sees(driver, "Sign in", "h1")
    driver.find_element(By.ID, "project").clear()
    driver.find_element(By.ID, "project").send_keys("shop")
    keys(driver, Keys.TAB, key, Keys.ENTER)
    assert sees(driver, "Overview", "h1")
    keyed.ctl("key", "revoke", key.split("_")[1], "--project", "shop")
    assert sees(driver, "Your session has ended", ".note")
    driver.delete_all_cookies()


def test_a_server_that_is_gone_is_shown_and_found_again(driver, tmp_path):
    console = Console(tmp_path / "data").start()
    show(driver, console)
    assert sees(driver, "No profiles yet", ".empty")
    address = console.console
    assert console.stop() == 0
    assert sees(driver, "The server does not respond", ".failure")
    again = Console(tmp_path / "data")
    again.flags = ("--console-listen", address)
    again.start()
    assert sees(driver, "No profiles yet", ".empty")
    assert again.stop() == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_every_part_fits_in_both_schemes_and_on_narrow_screens(driver, page, dark, width):
    made = identify(page, unique("shown"), plan="gold", **{f"attribute_{number}": "value " * 20 for number in range(9)})
    page.stub.Track(track(types_pb2.Identifier(profile_id=made), *[event(f"event_{number}") for number in range(9)]))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    scheme = "dark" if dark else "light"
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        for fragment in ["", "#/people", f"#/person/{made}"]:
            show(driver, page, fragment)
            assert wait_until(lambda: not driver.find_elements(By.CSS_SELECTOR, ".loading"))
            assert not overflows(driver), fragment
            assert background(driver) == ("rgb(16, 19, 26)" if dark else "rgb(246, 247, 249)")
            assert rows(driver) > 50, fragment
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
