"""What the page says, in the visitor's language."""

from __future__ import annotations

from typing import Any

from babel import numbers
from flask import request, session
from flask_babel import format_decimal, format_percent, get_locale
from flask_babel import gettext as _

from device.config import CompartmentSection
from device.page.bin import the_bin
from device.page.uploads import too_large

LANGUAGES = {"en": "English", "id": "Bahasa Indonesia"}


def choose_language() -> str:
    """The one that the visitor switched to, else the first that the browser asks for, else English."""
    asked = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
    return next((one for one in (session.get("language"), *asked) if one in LANGUAGES), "en")


def language() -> str:
    return str(get_locale() or "en")


def material_word(material: str) -> str:
    """The material's name; one that the catalogues do not know stays as the bundle writes it."""
    known: dict[str, str] = {
        "cardboard": _("Cardboard"),
        "paper": _("Paper"),
        "carton": _("Drink carton"),
        "glass": _("Glass"),
        "metal": _("Metal"),
        "plastic": _("Plastic"),
        "organic": _("Food and garden waste"),
        "textile": _("Textile"),
        "wood": _("Wood"),
        "trash": _("Residual waste"),
    }
    return known.get(material, material.replace("_", " ").capitalize())


def compartment_word(name: str) -> str:
    """The compartment's label from the configuration, else the word for its name."""
    compartment: CompartmentSection | None = the_bin().config.compartments.get(name)
    if compartment and (label := compartment.label.get(language()) or compartment.label.get("en")):
        return label
    known: dict[str, str] = {
        "organic": _("Organic"),
        "recyclable": _("Recyclable"),
        "reuse": _("Reuse"),
        "residual": _("Residual"),
    }
    return known.get(name, name.replace("_", " ").capitalize())


def compartment_class(name: str) -> str:
    """The class that gives an element this compartment's colours, `compartment-N` in the order of the configuration.

    A compartment of the past, which only the history knows, has none.
    """
    names = list(the_bin().config.compartments)
    return f"compartment-{names.index(name)}" if name in names else ""


def verdict_word(verdict: str) -> str:
    known: dict[str, str] = {"sure": _("sure"), "unsure": _("unsure"), "unknown": _("unknown")}
    return known.get(verdict, verdict)


def number(value: float, decimals: int = 0) -> str:
    """A number as it is written in the visitor's language."""
    return str(format_decimal(value, "#,##0." + "0" * decimals if decimals else "#,##0"))


def exact(value: float) -> str:
    """A number with all its decimals, so that it is still the same one when it is typed back."""
    return numbers.format_decimal(value, locale=get_locale(), decimal_quantization=False)


def percent(share: float, decimals: int = 0) -> str:
    """A share of one as a percentage, as it is written in the visitor's language."""
    return str(format_percent(share, "0." + "0" * decimals + "%" if decimals else "0%"))


def split_word(split: str) -> str:
    known: dict[str, str] = {"val": _("held out"), "test": _("test")}
    return known.get(split, split)


def data_word(data: str) -> str:
    """Of what a model was measured on; a source is called what its bundle calls it."""
    return str(_("all sources")) if data == "all sources" else data


def fault_words() -> dict[str, str]:
    """Part → what is wrong with it, in a language which the part itself does not speak; empty in English.

    The parts are those of `FaultEvent`, whose own message says more.
    """
    if language() == "en":
        return {}
    lids = {f"lid {name}": compartment_word(name) for name in the_bin().config.compartments}
    return {
        "camera": _("The camera gives no usable picture; nothing is sorted. Look at its cable, lens and lamp."),
        "tray": _("Something on the tray does not come to rest, so nothing is sorted."),
        "button": _("A button is stuck or its cable is loose. The bin sorts all the same."),
        "board": _("The Raspberry Pi gets too hot or too little power."),
        "journal": _("The history cannot be used now; the bin sorts all the same."),
        "loop": _("Something went wrong inside the bin. It tries again by itself."),
        **{part: _("%(lid)s: this lid does not move as it should.", lid=word) for part, word in lids.items()},
    }


def finding_words() -> dict[str, str]:
    """Check of the doctor → what is wrong where it fails, likewise: `Check` says more, in English."""
    if not (faults := fault_words()):
        return {}
    return {
        "configuration": _("The configuration file is wrong; mend it before the bin starts again."),
        "model": _("The model's file cannot be used."),
        "camera": faults["camera"],
        "pins": _("A lid does not move as it should."),
        "permissions": _("The bin may not use its camera or its pins."),
        "disk": _("The card is almost full, or cannot be written."),
        "history": faults["journal"],
        "clock": _("The clock may be wrong, and with it the times in the history."),
        "board": faults["board"],
    }


def check_word(name: str) -> str:
    """What the doctor looks at."""
    known: dict[str, str] = {
        "configuration": _("Configuration"),
        "model": _("Model"),
        "camera": _("Camera"),
        "pins": _("Pins"),
        "permissions": _("Permissions"),
        "disk": _("Disk"),
        "history": _("History"),
        "clock": _("Clock"),
        "board": _("Board"),
    }
    return known.get(name, name)


def script_words() -> dict[str, Any]:
    """What the scripts say: they find it in the page, in the same language as the rest."""
    return {
        "asking": _("Looking at your photo …"),
        "busy": _("The bin is busy. Asking again …"),
        "no_answer": _("The bin did not answer. Is your phone still on its network?"),
        "too_large": too_large(),
        "goes_to": _("goes into"),
        "unsure": _("Not sure enough, so it goes into the safe lid."),
        "unknown": _("Looks like nothing I know, so it goes into the safe lid."),
        "likely": _("All possibilities"),
        "photo": _("Photo"),
        "saved": _("Saved. Thank you!"),
        "not_saved": _("That was not saved."),
        "wrong": _("Not right? Tell me what it is:"),
        "empty": _("Ready. Lay something on the tray."),
        "arriving": _("Something is coming …"),
        "still": _("Hold still, I am looking …"),
        "deciding": _("Let me think …"),
        "serving": _("Drop it in!"),
        "leaving": _("Thank you!"),
        "fault": _("Something needs attention."),
        "maintenance": _("In maintenance: the lids move by hand."),
        "lids": {
            "opening": _("opening"),
            "open": _("open"),
            "closing": _("closing"),
            "closed": _("closed"),
            "fault": _("stuck"),
        },
        "lost": _("The connection to the bin is lost. Trying again …"),
        "no_picture": _("No picture from the camera."),
        "faults": fault_words(),
        "materials": {name: material_word(name) for name in the_bin().contract.classes},
        "classes": {name: compartment_class(to) for name, to in the_bin().config.materials.items()},
    }
