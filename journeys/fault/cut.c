/* cut MOUNTPOINT: the power of the disk below it goes, now. What is not on it stays in memory and never gets there.
 *
 * EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same number; 2 is "without flushing the log". */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int count, char **arguments) {
    uint32_t without_flush = 2;
    int dir = count == 2 ? open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0 || ioctl(dir, 0x8004587d, &without_flush)) {
        perror("cut");
        return 1;
    }
    return 0;
}
