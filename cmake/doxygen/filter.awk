# What Doxygen reads instead of a header: undocumented members get the meaning that words.txt has for
# their name, options and constructors a sentence of their own; and names stand as users write them.
# usage: awk -v words=words.txt -f filter.awk header.hpp
BEGIN {
    while ((getline line < words) > 0)
        if (line !~ /^#/ && (at = index(line, ": ")) > 0)
            means[substr(line, 1, at - 1)] = substr(line, at + 2)
}

function name_of(line, cut, equal, bracket) {
    cut = line
    sub(/^ *using /, "using ", cut)
    if (cut ~ /^using [a-z_]+ =/) { sub(/^using /, "", cut); sub(/ =.*/, "", cut); return cut }
    if (cut ~ /^ *(struct|class|enum) /) {
        sub(/^ *(struct|class|enum) (class )?/, "", cut); sub(/[ :<{;].*/, "", cut); return cut
    }
    if (cut ~ /operator[^a-z_]/ || cut ~ /operator (float|basic)/) return "operator"
    equal = index(cut, " = "); bracket = index(cut, "(")
    if (bracket > 0 && (equal == 0 || bracket < equal)) {
        cut = substr(cut, 1, bracket - 1)
    } else {
        if (cut !~ /;/) return ""
        sub(/ = .*/, "", cut); sub(/;.*/, "", cut)
    }
    sub(/.*[^A-Za-z_0-9]/, "", cut)
    return cut
}

{
    sub(/locmoe::inline v0/, "locmoe")
    sub(/\/\/\/ \[/, "/// Shape [")  # "[n]: ..." would be a link of Markdown's
    sub(/\/\/\/< \[/, "///< Shape [")
    if ($0 ~ /^ *\/\/\//) { documented = 1; print; next }
    if ($0 ~ /^ *friend [a-z_:]+;/) next  # Doxygen takes it for a member
    if ($0 ~ /^(struct|class) /) inside = name_of($0)
    if ($0 ~ /^    (struct|class) .*[{]$/) nested = name_of($0)
    if ($0 ~ /^    };/) nested = ""
    if ($0 ~ /^        (struct|class) .*[{]$/) deep = name_of($0)
    if ($0 ~ /^        };/) deep = ""
    said = ""
    if (!documented && $0 !~ /\/\/\/</) {
        if ($0 ~ /^struct [a-z_0-9]+_options /) {
            said = "What " substr(inside, 1, length(inside) - 8) " can be told."
        } else if (($0 ~ /^    [a-zA-Z]/ || (nested != "" && $0 ~ /^        [a-zA-Z]/) ||
                    (deep != "" && $0 ~ /^            [a-zA-Z]/)) &&
                   $0 !~ /^ *(return|static_assert|template|requires)/) {
            name = name_of($0)
            if (name != "" && (name == inside || (name == nested || name == deep) && $0 ~ /\(/))
                said = "Made of what its parameters name."
            else if (name in means) said = means[name]
        }
    }
    if (said != "") {
        indent = $0
        sub(/[^ ].*/, "", indent)
        print indent "/// " said
    }
    print
    if ($0 !~ /^ *(template|requires)/) documented = 0
}
