# Highway from its source.
if(NOT TARGET hwy::hwy)
    add_library(pome_cross_hwy STATIC ${POME_CROSS}/highway/hwy/aligned_allocator.cc ${POME_CROSS}/highway/hwy/per_target.cc
        ${POME_CROSS}/highway/hwy/print.cc ${POME_CROSS}/highway/hwy/targets.cc)
    target_include_directories(pome_cross_hwy SYSTEM PUBLIC ${POME_CROSS}/highway)
    target_compile_definitions(pome_cross_hwy PUBLIC HWY_STATIC_DEFINE)
    target_compile_options(pome_cross_hwy PRIVATE -w)
    add_library(hwy::hwy ALIAS pome_cross_hwy)
endif()
set(HWY_FOUND TRUE)
