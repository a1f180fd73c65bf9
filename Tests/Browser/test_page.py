"""The page in a real browser: what a person does with it, and what appears."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SCREENSHOTS
from playwright.sync_api import expect

PROMPT = "a red circle on a blue background"


def generate(page, steps=4, **values):
    """Fills the settings and presses the button."""
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_label("Steps").first.fill(str(steps))
    for label, value in values.items():
        page.locator("#" + label).fill(str(value))
    page.locator("#run").click()


def wait_until_idle(page):
    expect(page.locator("#run")).to_be_enabled(timeout=120_000)


def test_an_image_is_generated(page, server):
    page.get_by_label("Negative prompt").fill("green")
    generate(page, steps=5, seed=7, count=2)
    wait_until_idle(page)
    figures = page.locator("#generate-output figure")
    expect(figures).to_have_count(2)
    expect(figures.nth(0)).to_contain_text("seed 7")
    expect(figures.nth(1)).to_contain_text("seed 8")
    expect(page.locator("#generate-output img").first).to_have_js_property("naturalWidth", 64)
    with page.expect_download() as download:
        figures.nth(0).get_by_text("Download PNG").click()
    data = open(download.value.path(), "rb").read()
    assert download.value.suggested_filename == "decant-7.png"
    text = re.search(rb"parameters\0(.*?)Version: Decant", data, re.S)[1].decode("latin-1")
    assert text.startswith(PROMPT + "\nNegative prompt: green\nSteps: 5,") and "Seed: 7" in text


def test_defaults_are_the_models_and_the_dice_picks_a_seed(page):
    assert page.locator("#width").input_value() == "64"
    assert page.locator("#steps").input_value() == "25"
    assert page.locator("#seed").input_value() == ""
    page.locator("#dice").click()
    assert int(page.locator("#seed").input_value()) >= 0


def test_a_preview_appears_and_a_job_is_cancelled(page):
    generate(page, steps=150, count=8)
    preview = page.locator("#generate-output .preview img")
    expect(preview).to_be_visible(timeout=60_000)
    assert preview.evaluate("image => image.naturalWidth") == 8
    expect(page.locator("#progress-text")).to_contain_text("of 150")
    page.locator("#cancel").click()
    wait_until_idle(page)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#cancel")).to_be_disabled()


def test_a_refusal_is_shown_at_its_field(page):
    page.refusals.append(422)
    generate(page, width=65)
    expect(page.locator("#problem")).to_have_text("width is 65, expected a multiple of 8 from 8 to 1024")
    expect(page.locator("#width")).to_be_focused()
    expect(page.locator("#width")).to_have_attribute("aria-invalid", "true")


def test_prompts_are_text(page):
    page.get_by_label("Prompt", exact=True).fill("<img src=x onerror=alert(1)> <b>bold</b>")
    page.locator("#steps").fill("1")
    page.locator("#run").click()
    wait_until_idle(page)
    expect(page.locator("#history-list")).to_contain_text("<b>bold</b>")
    assert page.locator("#history-list b").count() == 0


def compare(page):
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("small.decant").check()
    generate(page, seed=3)
    wait_until_idle(page)


def test_models_are_compared(page):
    compare(page)
    output = page.locator("#compare-output")
    expect(output.locator("table tbody tr")).to_have_count(3)
    expect(output.locator("table tbody tr").nth(0)).to_contain_text("reference")
    expect(output.locator("table tbody tr").nth(1)).to_contain_text("dB")
    over = output.locator(".over")
    before = over.evaluate("image => getComputedStyle(image).clipPath")
    slider = page.locator("#divider")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    assert slider.input_value() == "30"
    after = over.evaluate("image => getComputedStyle(image).clipPath")
    assert "50%" in before and "30%" in after
    output.get_by_text("Difference:").click()
    difference = output.get_by_alt_text("Differences times 8")
    expect(difference).to_be_visible()
    expect(difference).to_have_js_property("naturalWidth", 64)
    page.locator("#compare-right").select_option("2")
    expect(output.locator(".tag.right")).to_have_text("small.decant")


def test_the_history_brings_back_settings(page):
    generate(page, steps=2, seed=11)
    wait_until_idle(page)
    page.locator("#seed").fill("999")
    page.get_by_label("Prompt", exact=True).fill("something else")
    page.locator("#history-list .entry").first.click()
    assert page.locator("#seed").input_value() == "11"
    assert page.get_by_label("Prompt", exact=True).input_value() == PROMPT
    count = page.locator("#history-list li").count()
    page.locator("#history-list .forget").first.click()
    expect(page.locator("#history-list li")).to_have_count(count - 1)


def test_a_model_is_inspected(page):
    page.get_by_role("tab", name="Inspect").click()
    expect(page.locator("#inspect-output .facts")).to_contain_text("5,523,876")
    page.locator("#inspected").select_option("small.decant")
    expect(page.locator(".block.gone")).to_have_count(15)
    page.locator("#inspected").select_option("int8.decant")
    expect(page.locator(".block.gone")).to_have_count(0)
    page.locator("button.block", has_text="resnets.0").first.click()
    details = page.locator("#block-details table")
    expect(details).to_contain_text("int8")
    expect(details).to_contain_text("dB")


def test_models_are_measured(page):
    page.get_by_role("tab", name="Bench").click()
    page.locator("#bench-steps").fill("2")
    page.locator("#bench-run").click()
    expect(page.locator("#bench-output tbody tr")).to_have_count(3, timeout=180_000)
    expect(page.locator("#bench-output tbody tr").first).to_contain_text("1.00×")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("Copy Markdown").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("| Model | U-Net parameters |") and len(text.splitlines()) == 5


def test_tabs_work_by_keyboard(page):
    page.get_by_role("tab", name="Generate").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Compare")).to_be_focused()
    expect(page.locator("#view-compare")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#view-bench")).to_be_visible()
    page.keyboard.press("Home")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.locator("#steps").fill("1")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator("#generate-output figure img").first).to_be_visible(timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width,height", [(1280, 900), (390, 844)])
def test_views_are_accessible(page, scheme, width, height):
    """Takes a screenshot of each view, checks it with axe, and checks that nothing is cut off."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    generate(page, seed=5)
    wait_until_idle(page)
    compare(page)
    for view in ("generate", "compare", "inspect", "bench"):
        page.locator("#tab-" + view).click()
        if view == "inspect":
            page.locator("#inspected").select_option("small.decant")
            page.locator("button.block").nth(3).click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=SCREENSHOTS / f"{view}-{scheme}-{width}.png", full_page=True)
        results = Axe().run(page)
        assert results.violations_count == 0, f"{view}: {results.generate_report()}"
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, view
