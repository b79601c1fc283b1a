"""The kit of every page: frame and macros (base.html, kit.html), colours, words, pictures, result folders."""
