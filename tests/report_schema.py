"""The keys of report.json, schema 1, as the tests expect them; stated apart from the code that writes them."""

DATA = {"name", "train_normal", "calibration_normal", "test_normal", "test_defect", "labelled_defects"}
MODEL = {
    "params",
    "input_size",
    "image_auroc",
    "image_auprc",
    "fnr_at_fpr5",
    "pixel_auroc",
    "pixel_aupro",
    "per_type",
    "per_type_fnr_at_fpr5",
    "intervals",
    "per_type_intervals",
    "latency_ms",
}
ROUTING = {
    "escalation_rate_normal",
    "escalation_rate",
    "fnr",
    "fnr_upper95",
    "fpr",
    "mean_latency_ms",
    "always_full_latency_ms",
}
