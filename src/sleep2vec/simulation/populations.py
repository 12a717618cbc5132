"""Who is in a public cohort: ages, sexes, how much apnea, as its publications describe it.

Numbers are rounded, written down from memory of the publications named and not copied from their tables (those of MESA
and BOAS were looked up); where `source` says "ours", nobody published them for the recordings. `apnea_median_per_hour`
is what `Person.draw` takes (of somebody of 50; age and sex add to it): ours, near what the publications report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sleep2vec.simulation.noise import Rng


@dataclass(frozen=True)
class Population:
    """One cohort's people.

    Attributes:
        ages_years: Youngest and oldest. The simulator's bodies begin at 5.
        source: Where the numbers come from.
    """

    age_mean_years: float
    age_sd_years: float
    ages_years: tuple[float, float]
    female_share: float
    apnea_median_per_hour: float
    source: str

    def draw_age_years(self, rng: Rng) -> float:
        """An age from the normal distribution, drawn again where it leaves the bounds (at most a hundred times)."""
        ages = rng.normal(self.age_mean_years, self.age_sd_years, 100)
        low, high = self.ages_years
        inside = ages[(ages >= low) & (ages <= high)]
        return float(inside[0]) if len(inside) else float(np.clip(ages[0], low, high))


POPULATIONS: Mapping[str, Population] = MappingProxyType(
    {
        "shhs1": Population(
            63, 11, (40, 90), 0.52, 6, "Quan et al., Sleep 20 (1997) 1077; ages above 89 are written as 90"
        ),
        "mros1": Population(76.4, 5.5, (67, 90), 0.0, 8, "Blackwell et al., J Am Geriatr Soc 59 (2011) 2217; men only"),
        "mesa": Population(
            68.5, 9.1, (54, 90), 0.54, 9, "Makarem et al., J Am Heart Assoc (2022), PMC9673642, table 2"
        ),
        "wsc": Population(60, 8, (37, 82), 0.46, 6, "Young et al., WMJ 108 (2009) 246; NSRR's overview"),
        "hsp_bdsp": Population(52, 17, (18, 90), 0.48, 9, "ours: adults of clinical laboratories (children left out)"),
        "apples": Population(51, 12, (18, 83), 0.35, 30, "Kushida et al., Sleep 35 (2012) 1593; AHI of 10 and more"),
        "cfs": Population(41, 19, (7, 89), 0.55, 6, "Redline et al., Am J Respir Crit Care Med 151 (1995) 682"),
        "ccshs": Population(17.7, 0.4, (16, 19), 0.50, 1.5, "NSRR's overview of the TREC visit: ages 16 to 19"),
        "chat": Population(
            6.6, 1.4, (5, 9.9), 0.51, 9, "Marcus et al., N Engl J Med 368 (2013) 2366: ages 5 to 9.9, AHI 2 to 30"
        ),
        "sof": Population(82.8, 3.2, (76, 90), 1.0, 8, "Claman et al., J Am Geriatr Soc 54 (2006); women only"),
        "stages": Population(46, 15, (13, 84), 0.55, 8, "NSRR's overview (ages 13 to 84); mean and share: ours"),
        "nchsdb": Population(
            9, 5.5, (5, 30), 0.44, 4, "Lee et al., Sci Data 9 (2022) 421; infants are left out: bodies begin at 5"
        ),
        "sleep_edf": Population(
            55, 22, (25, 90), 0.53, 2, "PhysioNet's description of Sleep Cassette: healthy, ages 25 to 101"
        ),
        "cinc2018": Population(55, 14, (18, 90), 0.35, 12, "Ghassemi et al., Comput Cardiol 45 (2018)"),
        "isruc": Population(51, 16, (20, 85), 0.45, 14, "Khalighi et al., Comput Methods Programs Biomed 124 (2016)"),
        "dod": Population(42, 15, (18, 70), 0.33, 9, "Guillot et al., IEEE Trans Neural Syst Rehabil Eng 28 (2020)"),
        "ucddb": Population(50, 10, (28, 68), 0.16, 20, "PhysioNet's description: 21 men and 4 women, ages 28 to 68"),
        "boas": Population(42, 19, (18, 82), 0.59, 4, "participants.tsv of ds005555: 18 to 82, 76 of 128 female"),
    }
)
# Cohorts whose people are those of another: the same, some years later, or chosen from them.
PEOPLE_OF: Mapping[str, str] = MappingProxyType({"shhs2": "shhs1", "mros2": "mros1", "cinc2026": "hsp_bdsp"})


def population_of(cohort: str) -> Population:
    """The people of a cohort of the catalog."""
    return POPULATIONS[PEOPLE_OF.get(cohort, cohort)]
