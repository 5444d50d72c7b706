"""AlexNet in each framework, one file each. A module is an implementation if it has `build(network, params)`."""
