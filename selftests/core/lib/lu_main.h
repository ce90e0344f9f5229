/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Command line options of a test program, in addition to those of the harness.
 */
#ifndef LU_MAIN_H
#define LU_MAIN_H

#include "lu_test.h"

#define LU_ARGS_MAX	64

/* struct lu_options - parsed command line */
struct lu_options {
	unsigned int boot;
	const char *variant;
	bool help;
	bool wrong;
	int argc;
	char *argv[LU_ARGS_MAX + 3];
};

/*
 * Returns the value of the option @name ("--name VALUE" or "--name=VALUE") and
 * advances @at past it, or NULL if the argument at @at is another one.
 */
static inline char *lu_option(char **argv, int *at, const char *name, struct lu_options *options)
{
	size_t len = strlen(name);

	if (strncmp(argv[*at], name, len))
		return NULL;
	if (argv[*at][len] == '=')
		return argv[(*at)++] + len + 1;
	if (argv[*at][len])
		return NULL;
	if (!argv[*at + 1]) {
		options->wrong = true;
		return argv[(*at)++];
	}
	*at += 2;
	return argv[*at - 1];
}

/* Parses the options of this file and collects the others for the harness. */
static inline void lu_read_options(int argc, char **argv, struct lu_options *options)
{
	char *value, *end;
	int at = 1;

	memset(options, 0, sizeof(*options));
	options->argv[options->argc++] = argv[0];
	while (at < argc && options->argc < LU_ARGS_MAX) {
		value = lu_option(argv, &at, "--boot", options);
		if (value) {
			options->boot = (unsigned int)strtoul(value, &end, 10);
			options->wrong |= !options->boot || *end;
			continue;
		}
		value = lu_option(argv, &at, "--variant", options);
		if (value) {
			options->variant = value;
			continue;
		}
		value = lu_option(argv, &at, "--bdf", options);
		if (value)
			setenv("LIVEUPDATE_TEST_BDF", value, 1);
		else if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h"))
			options->help = argv[at++];
		else
			options->argv[options->argc++] = argv[at++];
	}
	options->wrong |= at < argc;
}

static inline void lu_print_usage(const char *program, unsigned int boots)
{
	fprintf(stderr,
		"Usage: %s [--boot N] [--variant NAME] [--bdf LIST] [harness option...]\n"
		"\t--boot N        run only boot N (of %u). Do not combine with -t, -v, -f\n"
		"\t                or -r: use --variant. Without --boot, a program with\n"
		"\t                several boots is skipped. If a boot follows, a background\n"
		"\t                process keeps the session open for up to %d seconds, so\n"
		"\t                that it survives until the kexec. From boot 2 on, a\n"
		"\t                missing session is a failure instead of a skip\n"
		"\t--variant NAME  run only this variant\n"
		"\t--bdf LIST      PCI addresses of the devices, separated by commas\n"
		"\t--help          print this help and the options of the harness\n\n",
		program, boots, LU_KEEPER_SECS);
}

/* Selects one boot, and sets the environment for the kexec before and after it. */
static inline void lu_choose_boot(struct lu_options *options, const char *fixture,
				  unsigned int boots)
{
	static char name[256];

	if (options->boot < boots)
		setenv("LIVEUPDATE_TEST_KEXEC", "1", 1);
	if (options->boot > 1)
		setenv("LIVEUPDATE_TEST_HANDED_OVER", "1", 1);
	if (options->variant) {
		snprintf(name, sizeof(name), "%s.%s.boot_%u", fixture, options->variant,
			 options->boot);
		options->argv[options->argc++] = (char *)"-r";
	} else {
		snprintf(name, sizeof(name), "boot_%u", options->boot);
		options->argv[options->argc++] = (char *)"-t";
	}
	options->argv[options->argc++] = name;
}

/* Returns whether the fixture of the program has a variant of this name. */
static inline bool lu_has_variant(const char *name)
{
	const struct __fixture_variant_metadata *variant;
	const struct __fixture_metadata *fixture;

	for (fixture = __fixture_list; fixture; fixture = fixture->next) {
		for (variant = fixture->variant; variant; variant = variant->next) {
			if (!strcmp(variant->name, name))
				return true;
		}
	}
	return false;
}

/* Returns whether a fixture of the program has more than one variant. */
static inline bool lu_has_variants(void)
{
	const struct __fixture_metadata *fixture;

	for (fixture = __fixture_list; fixture; fixture = fixture->next) {
		if (fixture->variant && fixture->variant->next)
			return true;
	}
	return false;
}

/* main() of a program with one @fixture and @boots tests, one test per boot. */
static inline int lu_main(int argc, char **argv, const char *fixture, unsigned int boots)
{
	struct lu_options options;
	int ret;

	lu_read_options(argc, argv, &options);
	if (options.variant && !lu_has_variant(options.variant)) {
		fprintf(stderr, "%s: unknown variant %s\n", argv[0], options.variant);
		options.wrong = true;
	}
	if (options.boot && boots > 1 && !options.variant && lu_has_variants()) {
		fprintf(stderr, "%s: --boot needs --variant: all variants use the same sessions\n",
			argv[0]);
		options.wrong = true;
	}
	if (options.wrong || options.boot > boots || options.help) {
		lu_print_usage(argv[0], boots);
		options.argv[1] = (char *)"-h";
		argc = test_harness_run(2, options.argv);
		return options.help ? argc : KSFT_FAIL;
	}
	if (options.boot) {
		lu_choose_boot(&options, fixture, boots);
	} else if (boots > 1 && !getenv("LIVEUPDATE_TEST_KEXEC") &&
		   !getenv("LIVEUPDATE_TEST_HANDED_OVER")) {
		/* Lists the tests for -l, and refuses invalid options. */
		options.argv[options.argc] = NULL;
		ret = test_harness_argv_check(options.argc, options.argv);
		if (ret != KSFT_PASS)
			return ret;
		/* Without a kexec between the boots, no boot tests the handover. */
		ksft_print_header();
		ksft_exit_skip("needs a kexec between its boots, see --boot\n");
	} else if (options.variant) {
		options.argv[options.argc++] = (char *)"-v";
		options.argv[options.argc++] = (char *)options.variant;
	}
	options.argv[options.argc] = NULL;
	return test_harness_run(options.argc, options.argv);
}

#endif /* LU_MAIN_H */
