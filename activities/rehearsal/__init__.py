"""Trying policies and grants before they hold: on cases, on recorded calls, on what was approved. Performs nothing.

Every judgement here is the gateway's own (`activities.gateway.checks.judge`); there is no second judge.
"""
