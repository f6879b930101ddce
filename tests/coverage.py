#!/usr/bin/env python3
"""usage: tests/coverage.py FOLDER
Sums up the counts of gcov below FOLDER: which lines and branches of include/ were reached, and which were
not. A line or branch of a template is one, reached where any of its instances reaches it. Branches that
only an exception takes, and assertions, do not count."""
import collections
import concurrent.futures
import json
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
include = root / 'include'
least = {'lines': 95.0, 'branches': 85.0}


def instances(functions):
    """How many instances of the innermost function each line stands in, and the functions of which there
    are several: their lines come once for each, with its branches alone."""
    number = collections.Counter((f['start_line'], f['end_line']) for f in functions)
    of_line = {}
    for first, last in sorted(number, key=lambda span: (span[0], -span[1])):
        for line in range(first, last + 1):
            of_line[line] = number[first, last]
    several = {f['name'] for f in functions if number[f['start_line'], f['end_line']] > 1}
    return of_line, several


def read(counts):
    """[(header, line, reached, [branch reached])] of one translation unit."""
    run = subprocess.run(['gcov', '--json-format', '--stdout', '--branch-probabilities', str(counts)],
                         capture_output=True, cwd=counts.parent, check=True)
    found = []
    told = json.loads(run.stdout)
    for source in told['files']:
        path = pathlib.Path(told['current_working_directory'], source['file']).resolve()
        if include not in path.parents:
            continue
        of_line, several = instances(source['functions'])
        for line in source['lines']:
            taken = [b['count'] > 0 for b in line['branches'] if not b['throw']]
            copies = of_line.get(line['line_number'], 1)
            if line.get('function_name') not in several and len(taken) % copies == 0:
                each = len(taken) // copies
                taken = [any(taken[i::each]) for i in range(each)]
            found.append((path, line['line_number'], line['count'] > 0, taken))
    return found


def main():
    lines = collections.defaultdict(bool)
    branches = collections.defaultdict(list)
    counts = sorted(pathlib.Path(sys.argv[1]).resolve().rglob('*.gcda'))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for found in pool.map(read, counts):
            for path, number, reached, taken in found:
                lines[path, number] |= reached
                # Where instances differ in their branches, those of the plainest one count.
                known = branches[path, number]
                if not known or 0 < len(taken) < len(known):
                    branches[path, number] = taken
                elif len(taken) == len(known):
                    branches[path, number] = [a or b for a, b in zip(known, taken)]
    total, reached, left = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    text = {}
    for place in sorted(lines):
        path, number = place
        if path not in text:
            text[path] = path.read_text().split('\n')
        if 'LOCMOE_ASSERT' in text[path][number - 1]:
            continue
        total['lines'] += 1
        reached['lines'] += lines[place]
        total['branches'] += len(branches[place])
        reached['branches'] += sum(branches[place])
        if not lines[place]:
            left[path].append(str(number))
        elif not all(branches[place]):
            left[path].append(f'({number})')
    print('Not reached; in brackets, lines of which a branch is not:')
    for path, numbers in left.items():
        print(f'  {path.relative_to(include)}: {", ".join(numbers)}')
    share = {kind: 100 * reached[kind] / max(total[kind], 1) for kind in least}
    for kind in least:
        print(f'{kind}: {share[kind]:.1f} %, {reached[kind]} of {total[kind]}, '
              f'at least {least[kind]:.0f} % asked for')
    return 0 if all(share[kind] >= least[kind] for kind in least) else 1


if __name__ == '__main__':
    sys.exit(main())
