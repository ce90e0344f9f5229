/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CANARY_H
#define CANARY_H

/**
 * struct canary - A way to go wrong on purpose.
 * @word: What it is pulled by.
 * @pull: Goes wrong, and returns if the kernel still can.
 */
struct canary {
	const char *word;
	void (*pull)(void);
};

/* Each list ends with an entry that has no word. */
extern const struct canary canary_faults[];
extern const struct canary canary_memory[];
extern const struct canary canary_objects[];
extern const struct canary canary_locks[];
extern const struct canary canary_stalls[];
extern const struct canary canary_ends[];

/* Runs @function where no task is interrupted: in a hard interrupt. */
void canary_in_interrupt(void (*function)(void));

#endif /* CANARY_H */
