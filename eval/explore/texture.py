"""Power spectrum and autocorrelation of a set of images, summed image by image.

Phases drop out of both, so a pattern is found wherever it lies in each image. By the Wiener-Khinchin theorem
the two hold the same; they are estimated apart, because a spectrum needs its image faded out at the edges and
an autocorrelation does not.
"""

import numpy as np
import scipy.fft


class TextureSums:
    """Sums over images of side S; every image counts the same, whatever its contrast.

    Memory: about 5 arrays of (9/5 S)^2 numbers, whatever the number of images.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self.reach = 2 * (2 * size // 5)
        """Largest shift of the autocorrelation along each axis, in pixels: twice the longest period looked for,
        2/5 of the side, so that every period is seen to last."""
        self._padded = scipy.fft.next_fast_len(size + self.reach + 1, real=True)
        fade = np.hanning(size + 1)[:-1]
        self._fade = np.outer(fade, fade).astype(np.float32)
        self._spectrum = np.zeros((size, size // 2 + 1))
        self._products = np.zeros((self._padded, self._padded // 2 + 1))
        self._squares = np.zeros((size, size))

    def add(self, _index: int, grey: np.ndarray) -> None:
        """Count one image (S, S), its mean and slope taken off; a constant image is passed over."""
        values = _without_slope(grey)
        spread = float(values.std())
        if spread < 1e-6:
            return
        values /= np.float32(spread)
        self.count += 1
        self._squares += values**2
        self._products += _power(values, self._padded)
        faded = (values - np.average(values, weights=self._fade)) * self._fade
        self._spectrum += _power(faded, self.size)

    def spectrum(self) -> np.ndarray:
        """Mean power, float64 (S, S) with frequency 0 in the middle (row and column S // 2).

        1 is the mean power of white noise.
        """
        half = self._spectrum / max(1, self.count) / np.sum(self._fade**2)
        rest = half[:, 1 : (self.size + 1) // 2]
        # Real images: the other half is the mirror image through the origin.
        mirrored = np.roll(rest[::-1, ::-1], 1, axis=0)
        return np.fft.fftshift(np.concatenate([half, mirrored], axis=1))

    def correlation(self) -> np.ndarray:
        """Autocorrelation in [-1, 1], float64 (2 R + 1, 2 R + 1) for shifts up to R = `reach`, 0 in the middle.

        The correlation of all pairs of pixels that lie a shift apart, over all images; both ends are
        normalised by their own mean square, so that bright borders do not pass for a pattern.
        """
        shape = (self._padded, self._padded)
        products = scipy.fft.irfft2(self._products, shape)
        ones = scipy.fft.rfft2(np.ones((self.size, self.size)), shape)
        ahead = scipy.fft.irfft2(np.conj(scipy.fft.rfft2(self._squares, shape)) * ones, shape)
        behind = np.roll(ahead[::-1, ::-1], 1, axis=(0, 1))
        scale = np.sqrt(np.maximum(ahead * behind, 1e-12))
        shifts = np.arange(-self.reach, self.reach + 1)
        return (products / scale)[np.ix_(shifts, shifts)]


def radial_mean(spectrum: np.ndarray) -> np.ndarray:
    """Mean of a centred spectrum (S, S) over rings of 1, 2, ... S // 2 cycles an image, float64 (S // 2,)."""
    size = len(spectrum)
    axis = np.arange(size) - size // 2
    rings = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(int).ravel()
    sums = np.bincount(rings, weights=spectrum.ravel())
    return (sums / np.bincount(rings))[1 : size // 2 + 1]


def _power(values: np.ndarray, side: int) -> np.ndarray:
    transformed = scipy.fft.rfft2(values, (side, side))
    power: np.ndarray = transformed.real**2 + transformed.imag**2
    return power


def _without_slope(grey: np.ndarray) -> np.ndarray:
    """The image less its least-squares plane: light that falls off to one side is no texture."""
    values = grey - np.float32(grey.mean(dtype=np.float64))
    axis = np.arange(len(grey), dtype=np.float32) - np.float32((len(grey) - 1) / 2)
    weight = axis / np.float32(len(grey) * np.sum(axis**2))
    down, right = weight @ values.sum(axis=1), weight @ values.sum(axis=0)
    plane: np.ndarray = values - down * axis[:, None] - right * axis[None, :]
    return plane
