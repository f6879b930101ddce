#pragma once

// An exchange between two threads against the same one between two processes.

namespace bench {

/// Where bench/run.sh started this program on two ranks, MPI from here to the end; else nothing.
class second_process {
  public:
    second_process(int& argc, char**& argv);
    second_process(const second_process&) = delete;
    second_process& operator=(const second_process&) = delete;
    ~second_process();

    bool started() const;  ///< there are two
    bool is_this() const;  ///< rank 1, which only takes part in the rival
    void serve();          ///< rank 1: takes part until rank 0 ends, asleep in between
};

void add_exchanges();

}  // namespace bench
