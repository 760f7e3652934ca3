"""Tries policies and grants before they are in force: on cases and on recorded calls. Performs nothing.

Every evaluation here is the gateway's own (`activities.gateway.evaluation.checks.evaluate`); there is no second judge.
"""
