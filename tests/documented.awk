# Prints the public enumerators and the concepts without a paragraph, and names that every reference has.
# usage: awk -f documented.awk xml/*.xml
BEGIN {
    expected["locmoe::exchange_plan"]; expected["locmoe::drop_policy"]; expected["inter_node"]
}
/<enumvalue .*prot="public"/ || /<compounddef .*kind="concept"/ { bare = 1; name = "" }
/<(name|compoundname)>/ {
    text = $0
    gsub(/^ *<[a-z]*>|<.*$/, "", text)
    delete expected[text]
    if (name == "") name = text
}
/<para>/ { bare = 0 }
/<\/(enumvalue|compounddef)>/ {
    if (bare) { print FILENAME ": " name; failed = 1 }
    bare = 0
}
END {
    for (text in expected) { print text; failed = 1 }
    exit failed
}
