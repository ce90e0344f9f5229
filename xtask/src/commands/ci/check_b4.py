# SPDX-License-Identifier: MIT OR Apache-2.0
# Calls the check command through b4's own functions, as `b4 review` does, for a patch and for
# its series, and compares the result of b4 with the output of the command.
import email, email.policy, json, shlex, subprocess, sys
from b4.review import checks
command, path, known, unknown = sys.argv[1:]
unknown = [{'url': '', **entry} for entry in json.loads(unknown)]
raw = open(path, 'rb').read()
mail = email.message_from_bytes(raw, policy=email.policy.default)
for check in (command, command + ' --whole'):
    if check == command:
        parsed = checks.run_perpatch_checks([('p', mail)], [check], '.')['p']
    else:
        parsed = checks.run_series_checks(('p', mail), [check], '.')
    output = subprocess.run(shlex.split(check), input=raw, stdout=subprocess.PIPE, check=True)
    output = [{'url': '', **entry} for entry in json.loads(output.stdout)]
    if parsed != output or [entry['tool'] for entry in output] != ['patchbed']:
        sys.exit(f'b4 parsed {parsed}, the command printed {output}')
    if (output == unknown) == (known == 'known'):
        sys.exit(f'wrong result for a patch that is {known}: {output}')
