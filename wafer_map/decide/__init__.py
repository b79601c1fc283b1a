"""Whether a wafer or lot may go on: GO, HOLD or STOP from defect counts, with stated error rates, in words.

Pure functions of counts: `decide_wafer(plan, counts)`, `decide_lot(plan, wafers)`; `LotMonitor` keeps the counts
while a lot runs. numpy and the standard library only; a verdict takes microseconds.
"""

from wafer_map.decide.design import Design, cheapest_plan, design
from wafer_map.decide.monitor import LotMonitor
from wafer_map.decide.plan import Costs, Killers, LotPlan, load_plan
from wafer_map.decide.sampling import next_sites
from wafer_map.decide.verdict import Action, Verdict, WaferCounts, decide_lot, decide_wafer

__all__ = [
    "Action",
    "Costs",
    "Design",
    "Killers",
    "LotMonitor",
    "LotPlan",
    "Verdict",
    "WaferCounts",
    "cheapest_plan",
    "decide_lot",
    "decide_wafer",
    "design",
    "load_plan",
    "next_sites",
]
