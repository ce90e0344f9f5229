#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Validates the output formats of a run in the folder $2 with the tools that install.sh installed
# into $1. $3 is the `b4-check` command for the run and $4 its output for an unknown patch; the
# other arguments are mails with tested patches. Prints why a check failed.
set -u
tools=$1 files=$2 command=$3 unknown=$4
shift 4
here=$(dirname "$0")
bin=$tools/venv/bin
check() {
	name=$1
	shift
	output=$("$@" 2>&1) || printf '%s: %s\n' "$name" "$output"
}
check junit.xml "$bin/xmlschema-validate" --schema "$tools/junit.xsd" "$files/junit.xml"
check kcidb.json "$bin/python" "$here/check_kcidb.py" "$files/kcidb.json"
check result.json "$bin/check-jsonschema" --schemafile xtask/result.schema.json "$files/result.json"
check 'b4, unknown patch' "$bin/python" "$here/check_b4.py" "$command" "$here/unknown.eml" unknown "$unknown"
for mail; do
	check 'b4, tested patch' "$bin/python" "$here/check_b4.py" "$command" "$mail" known "$unknown"
done
