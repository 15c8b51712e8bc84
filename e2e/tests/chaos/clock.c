/* Preloaded: the wall clock of a process is off by the seconds in the file that CLOCK_OFFSET_FILE names.
 * gettimeofday stays right: librdkafka adds it to its timeouts, and the kernel, whose clock has not moved, measures
 * them. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void) {
	char text[32] = "";
	int file = open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY);
	ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
	int failed = syscall(SYS_clock_gettime, clock, now);
	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += offset();
	return failed;
}
