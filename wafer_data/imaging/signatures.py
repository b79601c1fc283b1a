"""What a file is that is not read here: a sound file of another format must not be called damaged."""

_ADVICE = "save it as PNG, TIFF, BMP or JPEG"
_STARTS = (
    (b"GIF8", "a GIF picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"SIMPLE  =", "a FITS file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x0e\x03\x13\x01", "an HDF4 file"),
    (b"\x93NUMPY", "a numpy array file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\x0a\x05\x01", "a PCX picture"),
    (b"\x01\xda", "an SGI picture"),
    (b"\x59\xa6\x6a\x95", "a Sun raster picture"),
    (b"SDPX", "a DPX picture"),
    (b"XPDS", "a DPX picture"),
    (b"DDS ", "a DirectDraw surface"),
    (b"ZISRAWFILE", "a Zeiss CZI file"),
    (b"BA", "an OS/2 bitmap array"),
    (b"qoif", "a QOI picture"),
    (b"GSF", "a GSF height map"),
    (b"IIII", "a raw camera picture"),
    (b"IIRO", "a raw camera picture"),
    (b"IIU\x00", "a raw camera picture"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"FUJIFILM", "a raw camera picture"),
    (b"P1\n", "a PBM picture"), (b"P2\n", "a PGM picture"), (b"P3\n", "a PPM picture"), (b"P4\n", "a PBM picture"),
    (b"P5\n", "a PGM picture"), (b"P6\n", "a PPM picture"), (b"P7\n", "a PAM picture"),
    (b"P5 ", "a PGM picture"), (b"P6 ", "a PPM picture"), (b"Pf\n", "a PFM picture"), (b"PF\n", "a PFM picture"),
)  # fmt: skip
_BRANDS = {b"avif": "an AVIF picture", b"avis": "an AVIF picture"} | dict.fromkeys(
    (b"heic", b"heix", b"mif1", b"msf1", b"hevc"), "a HEIF picture"
)


def other_format(data: bytes) -> str | None:
    """What a file of another format is, and what to do; None if it is of none that is known by its first bytes."""
    if data.startswith((b"\x89PNG\n", b"\x89PNG\r\r\n")):
        return "damaged: a PNG picture whose line ends were changed: it was sent as text; send it as binary"
    if data.startswith(b"\xef\xbb\xbf"):
        return "damaged: a byte-order mark stands before it: it was written or sent as text"
    found = next((name for start, name in _STARTS if data.startswith(start)), None)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = "a WebP picture"
    elif data[4:8] == b"ftyp":
        found = _BRANDS.get(data[8:12], "a video, or a picture in its container")
    elif data[:1000].lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        found = "a web page"
    elif data[128:132] == b"DICM":
        found = "a DICOM picture"
    elif data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the image itself: run `git lfs pull` where it comes from"
    elif data[-18:-2] == b"TRUEVISION-XFILE":
        found = "a TGA picture"
    elif data.startswith((b"RIFF", b"\x1aE\xdf\xa3", b"OggS")):
        found = found or "a video"
    return f"unsupported: {found}; {_ADVICE}" if found else None
