"""A page without a server: one HTML file in which baked heads are turned and restyled, offline.

Its parts in Python pack what the page carries; its parts in JavaScript walk through heads (`head.js`), paint
(`painter.js`, `kernel.js`), both in a worker (`worker.js`), and are the page (`page.js`).
"""
