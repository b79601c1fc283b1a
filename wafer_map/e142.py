"""Die bins of a wafer as SEMI E142 substrate map (XML), the format of die-bin maps between fab and assembly.

Written only. Bin codes are two hexadecimal digits: 01 good, FA bad, FF not inspected. The origin is the lower left die
and the axes go up and right; of mirrored coordinates it is the lower right die, and they go up and left. Rows, and the
codes in a row, follow each other along the axes from the origin: columns keep the list's order. Orientation says where
the notch or flat is, in degrees clockwise from the bottom (`orientation.mark_angle`). Reading E142 and the older G85 is
left to the systems that own those maps.
"""

from __future__ import annotations

from xml.etree import ElementTree

from wafer_map.klarf.model import WaferResult
from wafer_map.orientation import mark_angle
from wafer_map.signature_features import BAD, GOOD
from wafer_map.wafer import WaferMap
from wafer_map.xml_text import xml_text

_NAMESPACE = "urn:semi-org:xsd.E142-1.V1005.SubstrateMap"
_CODES = {GOOD: "01", BAD: "FA"}
_NOT_INSPECTED = "FF"


def die_bins(wafer: WaferMap, about: WaferResult) -> str:
    """The XML document.

    Args:
        wafer: the map. about: names and orientation mark; one that is not given is down, and of one in other words
            nothing is said.

    Returns:
        Text with an XML declaration.
    """
    grid = wafer.grid()[::-1]
    columns, rows = zip(*wafer.dies, strict=True)
    root = ElementTree.Element("MapData", xmlns=_NAMESPACE)
    layout = ElementTree.SubElement(
        ElementTree.SubElement(root, "Layouts"), "Layout", LayoutId="dies", DefaultUnits="microns"
    )
    ElementTree.SubElement(layout, "Dimension", X=str(grid.shape[1]), Y=str(grid.shape[0]))
    ElementTree.SubElement(layout, "DeviceSize", X=f"{wafer.pitch[0]:g}", Y=f"{wafer.pitch[1]:g}")
    name = xml_text(about.wafer or "wafer")
    substrates = ElementTree.SubElement(root, "Substrates")
    substrate = ElementTree.SubElement(substrates, "Substrate", SubstrateType="Wafer", SubstrateId=name)
    if about.lot:
        ElementTree.SubElement(substrate, "LotId").text = xml_text(about.lot)
    maps = ElementTree.SubElement(root, "SubstrateMaps")
    one = ElementTree.SubElement(maps, "SubstrateMap", SubstrateType="Wafer", SubstrateId=name)
    angle = mark_angle(about.mark_location or "DOWN")
    if angle is not None:
        one.set("Orientation", f"{angle:g}")
    one.set("OriginLocation", "LowerRight" if wafer.mirrored else "LowerLeft")
    one.set("AxisDirection", "UpLeft" if wafer.mirrored else "UpRight")
    overlay = ElementTree.SubElement(one, "Overlay", MapName="bins", MapVersion="1")
    reference = ElementTree.SubElement(overlay, "ReferenceDevices")
    device = ElementTree.SubElement(reference, "ReferenceDevice", ReferenceDeviceType="FirstDevice")
    # Where die (0, 0) of the inspection lies in this map.
    ElementTree.SubElement(device, "Coordinates", X=str(-min(columns)), Y=str(-min(rows)))
    code_map = ElementTree.SubElement(overlay, "BinCodeMap", BinType="HexaDecimal", NullBin=_NOT_INSPECTED)
    definitions = ElementTree.SubElement(code_map, "BinDefinitions")
    for value, quality, description in ((GOOD, "Pass", "good"), (BAD, "Fail", "defect")):
        ElementTree.SubElement(
            definitions, "BinDefinition", BinCode=_CODES[value], BinQuality=quality, BinDescription=description,
            BinCount=str(int((grid == value).sum())),
        )  # fmt: skip
    for row in grid:
        ElementTree.SubElement(code_map, "BinCode").text = "".join(
            _CODES.get(int(value), _NOT_INSPECTED) for value in row
        )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
