# One rule for --threads everywhere: 0 stands for all CPUs, 256 is the most.
for command in capture frequency spectrum quantize evaluate compare plan report export; do
    mlascope $command --threads 257 nowhere
    echo "$command: $?"
done 2>&1 | grep -v Try
