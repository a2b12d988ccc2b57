/* processor.h - threads that share a processor.
 *
 * The kernel gives a processor to threads that compute for a whole tick each, 4 ms at 250 Hz. A thread that has others
 * depend on it, as a scheduler of the Erlang VM has its processes, is to be waited for as long, wherever it waits for
 * such a neighbour. Threads: any; what is kept is each thread's own. */
#ifndef LSQI_BASE_PROCESSOR_H
#define LSQI_BASE_PROCESSOR_H

/* In a loop that looks for what another thread will do in less time than it takes to sleep: about 1 us that costs the
 * processor's other half, and the memory, little. */
void lsqi_processor_pause(void);

/* Lets other threads of this processor go first; once in 250 us, else it does nothing. Where that took long, there is
 * one that computes and lets nobody go: then not again for ten times as long. Never sleeps. */
void lsqi_processor_pass(void);

#endif
