"""Tries policies and grants on cases and on recorded calls before they are in force. Performs no calls.

It evaluates calls with the gateway's own function, `activities.gateway.evaluation.checks.evaluate`.
"""
