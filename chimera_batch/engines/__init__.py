"""Engines of our own machines: started, watched, found again after a crash, stopped. Floor 2.

A room of processes: it knows nothing of stages, money or stores.
"""
