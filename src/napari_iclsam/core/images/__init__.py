"""Pixels before any network: grey values, geometry, crops, planes, the support set."""
