"""Measurement system analysis by attributes.

Do inspectors and system agree with a reference, with each other, with themselves?

After AIAG, "Measurement Systems Analysis", 4th edition (2010), chapter III, section C, as IATF 16949 clause
7.1.5.1.1 asks. Every rate comes with an interval; a criterion counts as shown only where the interval lies
within it.
"""

from eval.msa.run import analyse_measurement_system, require_replaceable
from eval.msa.study import Study, read_study

__all__ = ["Study", "analyse_measurement_system", "read_study", "require_replaceable"]
