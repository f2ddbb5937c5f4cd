"""The viewer: a web page on this machine in which heads are turned and restyled.

`session.py` is a visitor's state and logic, without a user interface; `page.py` is the page, by viser.
"""
