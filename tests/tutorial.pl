# Run the commands of a page of documentation and compare what they print with it.
#
# Usage: tutorial.pl PAGE.md [UPDATE]       in the folder that the commands are to run in
#
# A command is an indented line that begins with "$ "; a backslash at its end goes on in
# the next line. The indented lines below are its standard output. "..." alone stands for
# any number of lines, " ..." at the end of a line for the rest of it. After the comment
# "needs: MODULE ...", a command is skipped where python3 has not those modules, after
# "needs-r: PACKAGE" where R has not that one. UPDATE writes the page anew, with all that
# was printed.
use strict;
use warnings;

my ($page, $update) = @ARGV;
open(my $in, '<', $page) or die "$page: $!\n";
my @lines = <$in>;
close $in;
chomp @lines;

# Do the lines that were printed match those of the page? The first that does not.
sub mismatch {
    my ($want, $got) = @_;
    my $at = 0;
    for (my $i = 0; $i < @$want; $i++) {
        my $line = $want->[$i];
        if ($line eq '...') {
            return undef if $i == $#$want;
            my $next = $want->[$i + 1];
            $at++ while $at < @$got && !same($next, $got->[$at]);
            return "missing: $next" if $at == @$got;
            next;
        }
        return "missing: $line" if $at == @$got;
        return "page:    $line\nprinted: $got->[$at]" if !same($line, $got->[$at]);
        $at++;
    }
    return $at < @$got ? "not on the page: $got->[$at]" : undef;
}

sub same {
    my ($want, $got) = @_;
    return 1 if $want eq $got;
    return $want =~ /^(.*\S) +\.\.\.$/ && index($got, $1) == 0;
}

# How to ask whether what a step needs is there.
sub probe {
    my ($language, $names) = @_;
    return $language eq 'R' ? "Rscript -e 'library($names)'"
        : "python3 -c '" . join('; ', map {"import $_"} split ' ', $names) . "'";
}

my ($ran, $failed, $needs, $language, @out) = (0, 0, '', '');
for (my $i = 0; $i < @lines;) {
    my $line = $lines[$i++];
    push @out, $line;
    ($needs, $language) = ($2, $1 ? 'R' : 'python3') if $line =~ /^<!-- needs(-r)?: (.*) -->$/;
    next unless $line =~ /^    \$ (.*)$/;
    my $command = $1;
    while ($command =~ s/\\$//) {
        push @out, $lines[$i];
        $command .= $lines[$i++] =~ s/^ +//r;
    }
    my @want;
    while ($i < @lines && $lines[$i] =~ /^    (?!\$ )(.*)$/) {
        push @want, $1;
        $i++;
    }
    if ($needs) {
        if (system(probe($language, $needs) . ' >/dev/null 2>&1')) {
            print "SKIPPED a step of $page: $language has not $needs: $command\n";
            push @out, map {"    $_"} @want;
            next;
        }
        $needs = '';
    }
    my @got = split /\n/, `($command) 2>stderr.txt`;
    my $status = $? >> 8;
    s/\s+$// for @got, @want;
    @got = grep { $_ ne '' } @got;
    $ran++;
    if ($status) {
        print "\$ $command\nended with status $status:\n", `tail -n 3 stderr.txt`;
        $failed++;
    } elsif (!$update) {
        my $why = mismatch(\@want, \@got);
        print "\$ $command\n$why\n" if $why;
        $failed++ if $why;
    }
    push @out, map {"    $_"} $update ? @got : @want;
}
if ($update) {
    open(my $to, '>', $page) or die "$page: $!\n";
    print $to "$_\n" for @out;
    close $to or die "$page: $!\n";
}
print "$page: $ran commands, $failed differ\n";
exit($failed || !$ran ? 1 : 0);
