"""Who meets limits most often, in bounded memory (Space-Saving; Metwally, Agrawal and El Abbadi, 2005)."""


class HeavyHitters:
    """
    Counts per name for at most *most* names.

    A new name takes the place, and the count, of the least: a count is never too low, and too high by at
    most the least count. Every name with more than a *most*-th of all is in it.
    """

    def __init__(self, most: int = 100) -> None:
        """Keep *most* names."""
        self._most = most
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Count *name* once more."""
        counts = self._counts
        if name in counts:
            counts[name] += 1
        elif len(counts) < self._most:
            counts[name] = 1
        else:
            least = min(counts, key=lambda each: counts[each])
            counts[name] = counts.pop(least) + 1

    def top(self, number: int) -> list[tuple[str, int]]:
        """The *number* names with the highest counts, highest first."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))[:number]
