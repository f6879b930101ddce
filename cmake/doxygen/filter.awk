# What Doxygen reads instead of a header: the same lines, with names as users write them.
# usage: awk -f filter.awk header.hpp
{
    sub(/locmoe::inline v0/, "locmoe")
    sub(/\/\/\/ \[/, "/// Shape [")  # "[n]: ..." would be a link of Markdown's
    sub(/\/\/\/< \[/, "///< Shape [")
    gsub(/R"\([^)]*\)"/, "\"\"")  # braces in them would end the function
    if ($0 ~ /^ *friend [a-z_:]+;/) $0 = ""  # Doxygen takes it for a member
    print
}
