"""What keeping organic waste out of a dump may save: an estimate by the IPCC's method, with its assumptions named.

IPCC 2006 Guidelines for National Greenhouse Gas Inventories, volume 5, chapter 3 (solid waste disposal, first-order
decay): CH4 = mass × DOC × DOCf × MCF × F × 16/12, here summed over all years, without recovery and oxidation. What
composting itself emits is subtracted (chapter 4, table 4.1, wet weight). GWP100 from IPCC AR6, WG1, table 7.15.
"""

from __future__ import annotations

from dataclasses import dataclass

ORGANIC_DROP_KG = 0.1
"""Assumed mass of one organic drop; weigh a full compartment and divide to have your own."""
DEGRADABLE_CARBON = 0.15
"""DOC of food waste, part of its wet mass (table 2.4)."""
PART_THAT_DECAYS = 0.5
"""DOCf (chapter 3, section 3.2.3)."""
METHANE_CORRECTION = 0.8
"""MCF of a deep dump that is not managed (table 3.1); 1.0 for a managed landfill."""
METHANE_PART_OF_GAS = 0.5
METHANE_PER_CARBON = 16 / 12
COMPOSTING_METHANE = 0.004
"""Part of the wet mass."""
COMPOSTING_NITROUS_OXIDE = 0.00024
METHANE_WARMING = 27.0
"""GWP100 of methane that is not fossil."""
NITROUS_OXIDE_WARMING = 273.0


@dataclass(frozen=True)
class Saving:
    """`methane_kg` that a dump would have given off; `co2e_kg`: net of what composting gives off."""

    organic_kg: float
    methane_kg: float
    co2e_kg: float


def saving(organic_drops: int) -> Saving:
    """The estimate for so many organic drops that are composted and not dumped."""
    organic_kg = organic_drops * ORGANIC_DROP_KG
    dumped = DEGRADABLE_CARBON * PART_THAT_DECAYS * METHANE_CORRECTION * METHANE_PART_OF_GAS * METHANE_PER_CARBON
    composted = COMPOSTING_METHANE * METHANE_WARMING + COMPOSTING_NITROUS_OXIDE * NITROUS_OXIDE_WARMING
    return Saving(organic_kg, organic_kg * dumped, organic_kg * (dumped * METHANE_WARMING - composted))
