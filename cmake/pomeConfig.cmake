# find_package(pome): the target pome::pome, for C and C++ programs.
include(${CMAKE_CURRENT_LIST_DIR}/pomeTargets.cmake)
