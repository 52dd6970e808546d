"""What a visitor sees of a gallery on the page, for the browser tests."""

from playwright.sync_api import expect

from genmodels.hub import recipe
from genmodels.ui.services import models

# The addresses of the pictures, once all are on the screen and they are others than `before`, and
# are as the switch says, enlarged or as drawn; the corner of a table is 8 pixels wide.
# An address holds the hash of the file, so the same address is the same picture.
SEEN = """([gallery, count, before]) => {
    const images = [...document.querySelectorAll(`#${gallery} .grid-container img`)]
    const seen = images.map(image => image.src)
    images.forEach(image => image.loading = "eager")
    const isSmall = one => one.naturalWidth > 8 && one.naturalWidth < 200
    const isLarge = one => one.naturalWidth >= 200
    const isDone = images.length == count && images.every(i => i.complete && i.naturalWidth > 0)
    const switches = [...document.querySelectorAll(".shown-as input:checked")]
    const shown = switches.find(one => one.checkVisibility())?.value
    const isOther = {"Enlarged": isSmall, "As drawn": isLarge}[shown]
    if (isOther && !/^beside|stops$/.test(gallery) && images.some(isOther)) return false
    return isDone && seen.join() != before.join() && seen
}"""
SPREAD = """gallery => {
  const images = [...document.querySelectorAll(`#${gallery} .grid-container img`)]
  return images.map(image => {
    const canvas = new OffscreenCanvas(64, 64).getContext("2d")
    canvas.drawImage(image, 0, 0, 64, 64)
    const greens = [...canvas.getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 == 1)
    return Math.max(...greens) - Math.min(...greens)
  })
}"""


def seen(page, count=8, before=(), gallery="cars-pictures"):
    """The addresses of the gallery's pictures, once there are so many and not those before."""
    return page.wait_for_function(SEEN, arg=[gallery, count, list(before)]).json_value()


def spread(page, gallery="cars-pictures"):
    """How far apart the darkest and the brightest green of each picture are: 0 is one colour."""
    return page.evaluate(SPREAD, gallery)


def type_in(field, value):
    """Type a value into a field and press Enter, again if the page, still waking, undid it."""
    for _ in range(5):
        field.fill(str(value))
        field.press("Enter")
        field.page.wait_for_timeout(300)
        if field.input_value() == str(value):
            return
    expect(field).to_have_value(str(value))


def pick(page, number, gallery="cars-pictures", panel="cars-detail"):
    """Click a picture, the first is 0, and wait until it is the large one."""
    thumbnail = page.locator(f"#{gallery} .grid-container button").nth(number)
    address = thumbnail.locator("img").get_attribute("src")
    large = page.locator(f"#{panel} .portrait img")
    thumbnail.click()
    try:
        expect(large).to_have_attribute("src", address, timeout=5_000)
    except AssertionError:  # The page was laid out anew just then, and another was under the mouse.
        thumbnail.click()
        expect(large).to_have_attribute("src", address)


def recipe_as_drawn(path):
    """The recipe of a saved picture before it was enlarged."""
    return models.as_drawn(recipe.read(path))


def saved(page, button, folder):
    """The file that a download button gives."""
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def opened(page, tab):
    """Go to a tab by its title."""
    page.get_by_role("tab", name=tab).first.click()
    expect(page.get_by_role("tab", name=tab).first).to_have_attribute("aria-selected", "true")


def drawn(page, tab):
    """Wait for a tab's picture, and what is said of it."""
    words = page.locator(f"#{tab}-words")
    expect(words).to_contain_text("pixels", timeout=120_000)
    expect(page.locator(f"#{tab} img").first).to_be_visible()
    return words.inner_text()


def choose(page, label, option):
    """Take an option of a list that folds out."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
