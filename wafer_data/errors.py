"""The one exception that means: the user's input is wrong, and this is what to do about it."""


class InputError(Exception):
    """Something the user gave (a file, a folder, a setting, a full disk) stops the work.

    The message says what was wrong, where, and what to do. The command line prints it after `error: ` and
    exits with status 2, without a traceback; a bug in the program is never reported this way.
    """
