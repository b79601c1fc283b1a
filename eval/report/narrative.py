"""The report's sentences: what was run, what came out, and what it does not show."""

from eval.metrics import clopper_pearson_upper, samples_to_certify
from eval.pages.wording import counted, grouped, milliseconds, percent
from eval.results import Evaluation


def summary(evaluation: Evaluation) -> list[str]:
    """Two or three sentences for the top of the page."""
    data, routing = evaluation.data, evaluation.routing
    sentences = [
        f"Trained on {counted(data.train_normal, 'normal image')} and "
        + (counted(data.labelled_defects, "labelled defect") if data.labelled_defects else "no defect")
        + f", with thresholds set on {grouped(data.calibration_normal)} other normals. Judged here on "
        f"{counted(data.test_normal, 'normal image')} and {counted(data.test_defect, 'defect')}, "
        "on which nothing was fitted, chosen or calibrated."
    ]
    if routing is None:
        return [*sentences, "The run holds no calibrated routing policy, so only the models are compared."]
    if data.test_defect:
        sentences.append(
            f"The routed system lets {routing.missed} of {counted(data.test_defect, 'defect')} pass "
            f"({percent(routing.fnr)}; with 95 % confidence below {percent(routing.fnr_upper95)}) and stops "
            f"{routing.false_alarms} of {counted(data.test_normal, 'normal image')} ({percent(routing.fpr)})."
        )
    else:
        sentences.append(
            "There is no defect in the test set: how many defects escape, and every figure that compares "
            f"defects with normals, is unknown. Of the normal images {percent(routing.fpr)} are stopped."
        )
    if routing.mean_latency_ms is not None and routing.always_full_latency_ms is not None:
        sentences.append(
            f"A normal image takes {milliseconds(routing.mean_latency_ms)} on average, against "
            f"{milliseconds(routing.always_full_latency_ms)} if every image went to the full student."
        )
    return sentences


def limits(evaluation: Evaluation) -> list[str]:
    """What a careful reader must not conclude from this page."""
    data, found = evaluation.data, []
    if data.test_defect:
        bound = clopper_pearson_upper(0, data.test_defect)
        found.append(
            f"With {counted(data.test_defect, 'test defect')}, even a perfect result could only show that "
            f"fewer than {percent(bound, 2)} of defects are missed (95 % confidence). Showing fewer than "
            f"{percent(0.001)} takes {grouped(samples_to_certify(0.001))} defects without a miss."
        )
    else:
        found.append("Without defects in the test set nothing here says how many defects are found.")
    if data.test_normal:
        found.append(
            f"One false alarm is {percent(1 / data.test_normal, 2)} of the normals here: "
            "rates finer than that cannot be distinguished."
        )
    found.append(
        "Intervals assume that the test images are independent draws of what the tool will see. A new "
        "product, layer, lamp or lens breaks that; the quality gate notices some of it, not all."
    )
    if data.test_defect and data.test_normal:
        share = data.test_defect / (data.test_defect + data.test_normal)
        found.append(
            f"AUPRC depends on the share of defects, {percent(share)} here. On the line defects are far "
            "rarer and the same model has a lower precision there; AUROC and the two error rates carry over."
        )
    if not any(model.pixel_auroc is not None for model in evaluation.models.values()):
        found.append("The test set has no usable defect masks, so pixel metrics are left out.")
    found.append(
        "Latency was measured on the machine named below, with one image at a time on one thread and the "
        "image already decoded. The routed mean is over the test images, which hold far more defects, and so "
        "more escalations, than a production line."
    )
    return found
