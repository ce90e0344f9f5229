/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FAULT_H
#define FAULT_H

/**
 * struct fault - A fault that can be injected
 * @word: Name by which user space selects the fault.
 * @inject: Injects the fault. Some faults never return.
 */
struct fault {
	const char *word;
	void (*inject)(void);
};

/* Each list is terminated by an entry with a NULL word. */
extern const struct fault fault_faults[];
extern const struct fault fault_memory[];
extern const struct fault fault_objects[];
extern const struct fault fault_locks[];
extern const struct fault fault_stalls[];
extern const struct fault fault_ends[];

/* Runs @function in hard interrupt context. */
void fault_in_interrupt(void (*function)(void));

#endif /* FAULT_H */
