"""What each command does: reads files, runs the method, writes files and says what happened.

Knows no options.
"""
