#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Installs the validators of output formats into the current folder. The JUnit schema of
# Jenkins is in the source archive of pytest, and not in its wheel.
set -eu
python3 -m venv venv
pip() {
	venv/bin/python -m pip --quiet --disable-pip-version-check "$@"
}
pip install b4==0.16.0 check-jsonschema==0.39.0 kcidb-io==141 xmlschema==4.3.2
pip download --no-deps --no-binary pytest --dest . pytest==9.2.0
schema=testing/example_scripts/junit-10.xsd
tar --extract --to-stdout --file pytest-9.2.0.tar.gz "pytest-9.2.0/$schema" >junit.xsd
