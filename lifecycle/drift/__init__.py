"""Has something changed since the version in use was trained: on which tool, layer or recipe, and since when?"""
