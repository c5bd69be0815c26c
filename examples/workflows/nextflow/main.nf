// Segment an image: labels, and a table of the objects. A module in the style of nf-core.
// Exit codes and the container: docs/workflows.md.
process UNETKIT_SEGMENT {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "unetkit:0.1.0"

    input:
    tuple val(meta), path(image)
    path model // [] for the built-in model of nuclei

    output:
    tuple val(meta), path("${prefix}.tif"), emit: labels
    tuple val(meta), path("${prefix}.csv"), emit: table
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def chosen = model ? "--model '${model}'" : ''
    def memory = task.memory ? "--memory ${task.memory.toMega()}MB" : ''
    prefix = task.ext.prefix ?: "${meta.id}_labels"
    """
    export OMP_NUM_THREADS=${task.cpus}
    unetkit segment '${image}' '${prefix}.tif' --output labels --table '${prefix}.csv' ${memory} ${chosen} ${args}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        unetkit: \$(unetkit --version | sed 's/unetkit //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}_labels"
    """
    touch '${prefix}.tif' '${prefix}.csv'

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        unetkit: \$(unetkit --version | sed 's/unetkit //')
    END_VERSIONS
    """
}
